module usher.example/sessions

go 1.25
