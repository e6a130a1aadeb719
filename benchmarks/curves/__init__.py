"""What grows with what: each module measures its curves, and returns them as charts."""
