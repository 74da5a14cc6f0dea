"""Python side of the Attune compiler."""
