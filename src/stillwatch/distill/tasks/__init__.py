"""Tasks: questions whose answers can be judged by a program. Each file here is one task."""
