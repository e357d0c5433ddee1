"""Sources of the compiled verbs, and the library made of them where there was a compiler."""
