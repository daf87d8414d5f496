"""For a partner without Stillwatch: the exchange profile, test vectors, a matcher, a MISP object template."""
