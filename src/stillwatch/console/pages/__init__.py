"""The pages: each shows one thing or does one thing. They share nothing but what they are given."""
