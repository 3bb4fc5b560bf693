"""Many runs compared: grouped, tested, and shown as tables and a page. Knows runs by their records alone."""
