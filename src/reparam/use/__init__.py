"""What a trained model is for: functions that edit, complete, classify and rank examples by it."""
