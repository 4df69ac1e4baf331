"""What the tests stand on: brokers to start, clients to drive, deadlines to wait by."""
