"""TRILLsson: small universal speech representations, distilled, evaluated and published by pipeline."""
