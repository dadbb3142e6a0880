"""`python -m train`: BinaryDuo's two stages over `model.fit`. Never imports convert."""
