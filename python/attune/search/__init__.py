"""Evaluators for `attune search`: workers that train candidates, here or on a cluster."""
