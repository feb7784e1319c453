"""PQ, mIoU, AP, and the evaluator that asks each with its own task token."""
