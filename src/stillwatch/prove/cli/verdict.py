"""`stillwatch prove verdict` and `prove verify`: evidence in, a page and a bundle out; a bundle checked."""

from pathlib import Path
from typing import Annotated, Any

import typer

from stillwatch.cases.audit.signing import open_signer, read_public
from stillwatch.cli.folder import AsJson
from stillwatch.cli.main import one_line, print_json
from stillwatch.cli.options import StampCa
from stillwatch.cli.verb import verb
from stillwatch.prove import Evidence, evidence_json, protocol
from stillwatch.prove import bundle as bundles
from stillwatch.prove.cli.prove import Witness, app
from stillwatch.prove.coin.sealed import PROOF
from stillwatch.prove.proven import Proof, trust
from stillwatch.prove.proven import read as read_proof
from stillwatch.prove.verdict import as_document, write_verdict

Released = Annotated[str | None, typer.Option(help="The day the suspect came out, as you know it.")]
SigningKey = Annotated[Path, typer.Option(help="The key that signs; made at first use, public half beside.")]


@verb(app, "verdict")
def verdict_command(
    evidence: Annotated[list[Path], typer.Argument(help="Evidence that other `prove` verbs wrote.")],
    out: Annotated[Path, typer.Option(help="The folder for index.html and verdict.json.")] = Path("verdict"),
    protocol_file: Annotated[
        Path | None, typer.Option("--protocol", help="The protocol that was signed before.")
    ] = None,
    bundle: Annotated[
        Path | None, typer.Option(help="Also write a signed bundle there: a folder or a .zip.")
    ] = None,
    attach: Annotated[
        list[Path] | None, typer.Option(help="A file to go into the bundle as it is; may be given again.")
    ] = None,
    proof_file: Annotated[
        Path | None,
        typer.Option("--proof", help="The proof of a sealed test; else proof.json beside the evidence."),
    ] = None,
    stamp_ca: StampCa = None,
    witness: Witness = None,
    released: Released = None,
    signing_key: SigningKey = Path("prove.key"),
    as_json: AsJson = False,
) -> None:
    """Put evidence together into one verdict: a page, verdict.json, and a bundle that others can check.

    $ stillwatch prove verdict coin.json mark.json --protocol protocol.dsse.json
    $ stillwatch prove verdict coin.json --out verdict --bundle acme-7b.zip --signing-key prove.key
    $ stillwatch prove verdict coin.json lineage.json --json
    """
    found = tuple(evidence_json.read(path) for path in evidence)
    signed = None if protocol_file is None else protocol.read(protocol_file)
    proof = _proof(found, evidence, proof_file, signing_key, trust(stamp_ca, witness or [], released))
    document = as_document(found, signed, proof)
    page = write_verdict(found, out, signed, proof)
    written = None
    if bundle is not None:
        attached = bundles.read_attached(attach or [])
        files = bundles.make(found, open_signer(signing_key), signed, attached, proof)
        written = bundles.write(files, bundle)
    if as_json:
        print_json(document)
        return
    print(one_line(document["headline"]))
    print(f"  {document['means']}")
    for sentence in document["missing"]:
        print(f"  missing: {one_line(sentence)}")
    for sentence in document["means_not"]:
        print(f"  {sentence}")
    print(f"page: {one_line(str(page))}")
    if written is not None:
        print(f"bundle: {one_line(str(written.path))}, {written.files} files, manifest {written.sha256}")
        print(f"check it: stillwatch prove verify {one_line(str(written.path))} --key {written.key}")
        print("give the receiver that key by another way than the bundle")


def _proof(
    found: tuple[Evidence, ...], paths: list[Path], named: Path | None, signing_key: Path, given: Any
) -> Proof | None:
    """Examine the proof of the sealed test among the evidence; None if there is no such test."""
    places = [
        path.parent / PROOF for path, evidence_ in zip(paths, found, strict=True) if evidence_.proof_sha256
    ]
    if named is None and not places:
        return None
    return read_proof(named or places[0], open_signer(signing_key).key, given)


@verb(app, "verify")
def verify_command(
    bundle: Annotated[Path, typer.Argument(help="The bundle: a folder or a .zip.")],
    key: Annotated[str | None, typer.Option(help="Who must have signed: 64 hex digits, or a file.")] = None,
    stamp_ca: StampCa = None,
    witness: Witness = None,
    released: Released = None,
    as_json: AsJson = False,
) -> None:
    """Check a bundle of a verdict, as the verify.py in it does.

    Exit codes: 0 intact, signed by the key that you gave, and all claims recomputed; 1 not; 2 no bundle.

    $ stillwatch prove verify acme-7b.zip
    $ stillwatch prove verify acme-7b.zip --key sender.pub --witness witness.pub --released 2027-01-15 --json
    """
    from stillwatch.prove import checker

    named = key
    if key is not None and Path(key).exists():
        named = read_public(Path(key))
    words = [
        str(bundle.absolute()),
        *([] if named is None else ["--key", named]),
        *([] if stamp_ca is None else ["--stamp-ca", str(stamp_ca)]),
        *([] if not witness else ["--witness", ",".join(witness)]),
        *([] if released is None else ["--released", released]),
        *(["--json"] if as_json else []),
    ]
    code = checker.main(words)
    if code:
        raise typer.Exit(code)
