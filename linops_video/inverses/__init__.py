"""(AᴴA + ρI)⁻¹ and the pseudoinverse: exact through the structure of the Gram or outer product, iterative elsewhere."""
