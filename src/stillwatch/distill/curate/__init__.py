"""Which of a teacher's answers a student should see: filters that each say how many they dropped, and why."""
