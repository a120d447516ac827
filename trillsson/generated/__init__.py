"""The generated corpus: seven small labelled tasks spoken by espeak-ng, made on the spot and the same for a seed."""
