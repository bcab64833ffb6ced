"""Formulas of the Feynman lectures, with the ranges from which their variables are drawn.

Numbers, formulas and ranges are those of the table of Udrescu and Tegmark, AI Feynman (arXiv 1905.11481).
"""

from __future__ import annotations

from difflib import get_close_matches

__all__ = ["EQUATIONS", "unknown_equation"]

EQUATIONS: dict[str, tuple[str, str]] = {
    "I.6.2a": ("exp(-theta**2 / 2) / sqrt(2*pi)", "theta 1 3"),
    "I.6.2": ("exp(-(theta/sigma)**2 / 2) / (sqrt(2*pi) * sigma)", "sigma theta 1 3"),
    "I.6.2b": ("exp(-((theta - theta1)/sigma)**2 / 2) / (sqrt(2*pi) * sigma)", "sigma theta theta1 1 3"),
    "I.8.14": ("sqrt((x2 - x1)**2 + (y2 - y1)**2)", "x1 x2 y1 y2 1 5"),
    "I.9.18": (
        "G * m1 * m2 / ((x2 - x1)**2 + (y2 - y1)**2 + (z2 - z1)**2)",
        "m1 m2 G 1 2, x1 3 4, x2 1 2, y1 3 4, y2 1 2, z1 3 4, z2 1 2",
    ),
    "I.10.7": ("m0 / sqrt(1 - v**2 / c**2)", "m0 1 5, v 1 2, c 3 10"),
    "I.11.19": ("x1*y1 + x2*y2 + x3*y3", "x1 x2 x3 y1 y2 y3 1 5"),
    "I.12.2": ("q1*q2*r / (4*pi*epsilon * r**3)", "q1 q2 epsilon r 1 5"),
    "I.12.11": ("q * (Ef + B*v*sin(theta))", "q Ef B v theta 1 5"),
    "I.13.4": ("m * (v**2 + u**2 + w**2) / 2", "m v u w 1 5"),
    "I.13.12": ("G*m1*m2 * (1/r2 - 1/r1)", "m1 m2 r1 r2 G 1 5"),
    "I.15.3x": ("(x - u*t) / sqrt(1 - u**2 / c**2)", "x 5 10, u 1 2, c 3 20, t 1 2"),
    "I.15.3t": ("(t - u*x / c**2) / sqrt(1 - u**2 / c**2)", "x 1 5, c 3 10, u 1 2, t 1 5"),
    "I.15.1": ("m0*v / sqrt(1 - v**2 / c**2)", "m0 1 5, v 1 2, c 3 10"),
    "I.16.6": ("(u + v) / (1 + u*v / c**2)", "c v u 1 5"),
    "I.18.4": ("(m1*r1 + m2*r2) / (m1 + m2)", "m1 m2 r1 r2 1 5"),
    "I.18.12": ("r*F*sin(theta)", "r F 1 5, theta 0 5"),
    "I.18.14": ("m*r*v*sin(theta)", "m r v theta 1 5"),
    "I.24.6": ("m * (omega**2 + omega0**2) * x**2 / 4", "m omega omega0 x 1 3"),
    "I.26.2": ("arcsin(n * sin(theta2))", "n 0 1, theta2 1 5"),
    "I.27.6": ("1 / (1/d1 + n/d2)", "d1 d2 n 1 5"),
    "I.29.16": ("sqrt(x1**2 + x2**2 - 2*x1*x2*cos(theta1 - theta2))", "x1 x2 theta1 theta2 1 5"),
    "I.30.3": ("Int0 * sin(n*theta/2)**2 / sin(theta/2)**2", "Int0 theta n 1 5"),
    "I.30.5": ("arcsin(lambd / (n*d))", "lambd 1 2, d 2 5, n 1 5"),
    "I.32.17": (
        "(epsilon*c*Ef**2 / 2) * (8*pi*r**2 / 3) * (omega**4 / (omega**2 - omega0**2)**2)",
        "epsilon c Ef r omega 1 2, omega0 3 5",
    ),
    "I.34.14": ("(1 + v/c) / sqrt(1 - v**2 / c**2) * omega0", "c 3 10, v 1 2, omega0 1 5"),
    "I.37.4": ("I1 + I2 + 2*sqrt(I1*I2)*cos(delta)", "I1 I2 delta 1 5"),
    "I.39.11": ("pr*V / (gamma - 1)", "gamma 2 5, pr V 1 5"),
    "I.40.1": ("n0 * exp(-m*g*x / (kb*T))", "n0 m x T g kb 1 5"),
    "I.41.16": (
        "h/(2*pi) * omega**3 / (pi**2 * c**2 * (exp(h/(2*pi) * omega / (kb*T)) - 1))",
        "omega T h kb c 1 5",
    ),
    "I.44.4": ("n*kb*T*ln(V2/V1)", "n kb T V1 V2 1 5"),
    "I.47.23": ("sqrt(gamma*pr / rho)", "gamma pr rho 1 5"),
    "I.48.2": ("m*c**2 / sqrt(1 - v**2 / c**2)", "m 1 5, v 1 2, c 3 10"),
    "I.50.26": ("x1 * (cos(omega*t) + alpha*cos(omega*t)**2)", "x1 omega t alpha 1 3"),
    "II.2.42": ("kappa * (T2 - T1) * A / d", "kappa T1 T2 A d 1 5"),
    "II.6.11": ("p_d * cos(theta) / (4*pi*epsilon * r**2)", "epsilon p_d theta r 1 3"),
    "II.6.15a": ("p_d / (4*pi*epsilon) * 3*z / r**5 * sqrt(x**2 + y**2)", "epsilon p_d r x y z 1 3"),
    "II.6.15b": ("p_d / (4*pi*epsilon) * 3*cos(theta)*sin(theta) / r**3", "epsilon p_d theta r 1 3"),
    "II.11.17": ("n0 * (1 + p_d*Ef*cos(theta) / (kb*T))", "n0 kb T theta p_d Ef 1 3"),
    "II.11.27": ("n*alpha / (1 - n*alpha/3) * epsilon*Ef", "n alpha 0 1, epsilon Ef 1 2"),
    "II.11.28": ("1 + n*alpha / (1 - n*alpha/3)", "n alpha 0 1"),
    "II.24.17": ("sqrt(omega**2 / c**2 - pi**2 / d**2)", "omega 4 6, c 1 2, d 2 4"),
    "II.35.18": ("n0 / (exp(mom*B / (kb*T)) + exp(-mom*B / (kb*T)))", "n0 kb T mom B 1 3"),
    "II.35.21": ("n_rho*mom*tanh(mom*B / (kb*T))", "n_rho mom B kb T 1 5"),
    "III.4.33": ("h/(2*pi) * omega / (exp(h/(2*pi) * omega / (kb*T)) - 1)", "h omega kb T 1 5"),
    "III.8.54": ("sin(E_n*t / (h/(2*pi)))**2", "E_n t 1 2, h 1 4"),
    "III.9.52": (
        "p_d*Ef*t / (h/(2*pi)) * sin((omega - omega0)*t/2)**2 / ((omega - omega0)*t/2)**2",
        "p_d Ef t h 1 3, omega omega0 1 5",
    ),
    "III.10.19": ("mom * sqrt(Bx**2 + By**2 + Bz**2)", "mom Bx By Bz 1 5"),
    "III.14.14": ("I0 * (exp(q*Volt / (kb*T)) - 1)", "I0 1 5, q Volt kb T 1 2"),
    "III.15.12": ("2*U * (1 - cos(k*d))", "U k d 1 5"),
    "III.17.37": ("beta * (1 + alpha*cos(theta))", "beta alpha theta 1 5"),
}
"""Formula and ranges by the equation's number; `x y 1 5, z 2 3`: x and y from [1, 5], z from [2, 3]."""


def unknown_equation(number: str) -> str:
    """The reason for refusing a number that is not in the table."""
    close = get_close_matches(number.upper(), {name.upper(): name for name in EQUATIONS}, n=1)
    near = next((name for name in EQUATIONS if close and name.upper() == close[0]), None)
    return f"must be the number of an equation, {f'perhaps {near}' if near else 'one of ' + ', '.join(EQUATIONS)}"
