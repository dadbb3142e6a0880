"""Training over `model.fit`: the methods, their networks and their stages. Knows nothing of conversion."""
