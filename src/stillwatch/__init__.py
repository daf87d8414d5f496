"""Stillwatch watches a model API for unauthorised distillation."""

__version__ = "0.1.0"
