"""Minutes that a flight out of New York spends in the air, from what is known at departure."""
