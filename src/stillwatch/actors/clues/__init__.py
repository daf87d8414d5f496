"""Clues, one file each: a reason to tie accounts, in bits. A new one is a file with NAME, CONTROL and weigh()."""
