"""The pages: each shows one thing or does one thing, independently of the others."""
