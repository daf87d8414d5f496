"""Tasks: questions whose answers can be judged by a program. One file a task, found by its place."""
