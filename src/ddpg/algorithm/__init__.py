"""What the papers say: pure functions of arrays that know no environment, no replay and no file."""
