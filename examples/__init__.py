"""Programs that show the library at work, each against a LocalUpgrade of its own."""
