"""Whole networks as operators: nodes by level, activations, passes and steps."""
