"""Files and stores that want to harm: each costs itself at most."""
