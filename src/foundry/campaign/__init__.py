"""The endless loop: propose, screen, climb, certify, promote, go on."""
