"""Clues, one file each: a reason to tie accounts, in bits. To add one, add a file with NAME, CONTROL and weigh()."""
