"""Clues, a file each: reasons to tie accounts, in bits. A new one: a file with NAME, CONTROL and weigh()."""
