"""experiment=choose: strategies cross-validated in turn, one chosen, trained once more and scored on the test part."""
