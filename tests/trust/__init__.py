"""How hard it was tried to break the course: long runs, whose short forms are tests."""
