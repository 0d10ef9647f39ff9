"""What models cost: rates and their arithmetic, where they are from, and who asks for them."""
