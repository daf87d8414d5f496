"""Every campaign of the sample and the development scenes, in every form, to a partner and back."""

import pytest

from exports_scenes import SCENES, Figures, tried


@pytest.mark.slow
@pytest.mark.parametrize("name", SCENES)
def test_every_campaign_of_a_scene_leaves_as_it_should(name: str) -> None:
    if not (SCENES[name] / "exchanges.parquet").exists():
        pytest.skip(f"{SCENES[name]} is not on this machine")
    figures = Figures()
    tried(SCENES[name], figures)
    assert figures.wrong == []
    assert figures.counts["OCSF: right"] >= 18  # three cases, three activities, two classes
    assert figures.counts["canaries: found"] == 0
    assert figures.counts["canaries: pieces of prompts"] > 1_000
    assert figures.counts["sightings: right"] >= 3
    assert figures.counts["other half: found"] >= 0.5 * figures.counts["other half: accounts"]
