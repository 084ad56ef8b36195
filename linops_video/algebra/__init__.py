"""What every operator is: a linear map on batches of tensors, and the algebra of @, +, ×, adjoint."""
