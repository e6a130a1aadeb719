"""UpGrade's rules and ours as pure functions on small values: no input, output, clock or lock."""
