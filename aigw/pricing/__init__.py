"""What models cost, what was spent, and how much may be: prices, spend, budgets."""
