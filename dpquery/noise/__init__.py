"""The only home of OpenDP: samplers, their loss maps, tails, and the conversion between privacy definitions."""
