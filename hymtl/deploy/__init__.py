"""What happens after fitting: converted, scored, saved, and used to predict. Nothing here needs Lightning or Hydra."""
