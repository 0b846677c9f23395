"""The explorer of latents, whose decoder runs in the page: Python, JavaScript and CSS side by side."""
