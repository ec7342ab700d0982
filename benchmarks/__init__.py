"""Side-by-side measurements: what this project does beside what a user would otherwise take. `make bench` runs them all."""
