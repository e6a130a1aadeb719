"""What is compared: one module for each group, one function for each benchmark."""
