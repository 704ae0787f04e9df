"""The training bench: a task says what is trained, the bench runs it, resumes it and writes it down."""
