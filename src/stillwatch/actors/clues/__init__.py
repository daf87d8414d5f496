"""Clues, one file each: reasons to tie accounts, in bits. Each has NAME, CONTROL and weigh()."""
