"""What lets a distillation run without anybody's weights: a task, a teacher, a server.

It does not know how a student is taught.
"""
