`
def f(x, y=[1, 'a']):
    """Sum.

    Parameters
    ----------
    x : float
    y : list[str], optional
        Two.

    Returns
    -------
    float
    """
def g(x):
    ''':param float x: One.
    :rtype: str'''
