"""What an asynchronous network does, drawn on the host before any model is touched: who sends to whom, and when."""
