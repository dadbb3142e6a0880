"""Side-by-side measurements, one script a question. Imports convert and data; nothing imports it."""
