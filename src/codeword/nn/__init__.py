"""Layers of any rank: convolutions, residual stacks, encoders and decoders, causal stacks."""
