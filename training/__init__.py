"""How the model on board was made: data, training, evaluation and export, one command each (see README.md)."""
