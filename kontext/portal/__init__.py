"""The portal's pages that bring several floors together: home, applications, activity."""
