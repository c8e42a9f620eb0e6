"""The study: score, training, Ray and Optuna, leaderboard and command."""
