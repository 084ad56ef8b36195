"""The operators, one family a file: what they do, their adjoints, the structure of AᴴWA and AWAᴴ."""
