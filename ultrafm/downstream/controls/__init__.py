"""Controls: checks that can fail, such as what shortcuts, chance and a planted effect would show."""
